"""The room of the leak test: what is to happen to each exchange, an agent and a client that make it happen."""
