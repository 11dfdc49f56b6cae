"""The room of the differential test: messages, who sends them, who records them, what may differ."""
