"""The built-in plugins; they use the public names of aiogate alone, as third parties do."""
