"""The command line: click commands, heavy imports only inside them."""
