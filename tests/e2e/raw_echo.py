"""An HTTP server that tells what it was sent, byte for byte: an application of tests. `python raw_echo.py [PORT]`.

The answer's body is the JSON list of the request's lines (latin-1): the request line, then the headers in order.
"""

from __future__ import annotations

import asyncio
import json
import sys


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode("latin-1").split("\r\n")[:-2]
            fields = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines[1:])}
            await reader.readexactly(int(fields.get("content-length", "0")))
            body = json.dumps(lines).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
            writer.write(b"content-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(
        serve, "0.0.0.0", int(sys.argv[1]) if len(sys.argv) > 1 else 8080, limit=1 << 20
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
