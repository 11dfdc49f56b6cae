"""The server: listeners, the handler that walks an exchange through the house, drain."""
