"""Serves a baseline's ASGI app with the uvicorn settings that `linkspan serve` has.

Run as `python run.py MODULE PORT UPSTREAM_PORT [DEFINITIONS]` in the baselines' own environment.
"""

import importlib
import sys

import uvicorn


def main() -> None:
    module, port, upstream, *definitions = sys.argv[1:]
    app = importlib.import_module(module).build(f"http://127.0.0.1:{upstream}", *definitions)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(port),
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
