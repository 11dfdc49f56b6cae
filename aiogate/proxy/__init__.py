"""The proxy: requests to agents, answers to clients, byte for byte."""
