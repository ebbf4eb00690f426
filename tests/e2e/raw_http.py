"""Requests byte for byte, many at once: a program of its own, so that it can run in any network.

    python raw_http.py < requests.json

Standard input: a JSON list of [address, port, text]; each text is sent as latin-1 on a connection of its own, and what
comes back until the connection ends is printed as a JSON list of latin-1 texts, in order. Standard library only.
"""

from __future__ import annotations

import asyncio
import json
import sys

AT_ONCE = 40
TIMEOUT_S = 90


async def ask(places: asyncio.Semaphore, address: str, port: int, text: str) -> str:
    async with places:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = await asyncio.open_connection(address, port, limit=1 << 20)
                writer.write(text.encode("latin-1"))
                answer = b""
                try:
                    while chunk := await reader.read(65536):
                        answer += chunk
                except ConnectionError:
                    pass
                writer.close()
                return answer.decode("latin-1")
        except (OSError, TimeoutError) as error:
            return f"no answer: {type(error).__name__}"


async def main() -> None:
    places = asyncio.Semaphore(AT_ONCE)
    asked = [ask(places, *one) for one in json.load(sys.stdin)]
    print(json.dumps(await asyncio.gather(*asked)))


if __name__ == "__main__":
    asyncio.run(main())
