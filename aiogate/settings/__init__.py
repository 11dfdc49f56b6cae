"""The config: TOML to frozen facts, with every problem reported at once."""
