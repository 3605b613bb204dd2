"""The HTTP face besides MCP."""
