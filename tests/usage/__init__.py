"""Tests of what responses say that they used."""
