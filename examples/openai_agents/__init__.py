"""An agent made with openai-agents that uses a tenant's tools."""
