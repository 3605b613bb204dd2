"""The MCP face: a Catalog as tools, resources and prompts, over stdio and HTTP."""
