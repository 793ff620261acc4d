"""The least renewal: one refresh token request after the other with httpx2, nothing kept, nothing checked.

``python bench/bare/renewals.py TOKEN_ENDPOINT CLIENT_ID REFRESH_TOKEN COUNT`` prints the CPU seconds of one renewal.
Like ours, each goes on a connection of its own.
"""

import asyncio
import sys
import time

import httpx2


async def renew(endpoint: str, client_id: str, refresh_token: str, count: int) -> float:
    """Return the CPU seconds of one of ``count`` renewals; the first one, which loads things, is left out."""
    began = 0.0
    limits = httpx2.Limits(max_keepalive_connections=0)
    async with httpx2.AsyncClient(trust_env=False, limits=limits) as client:
        for number in range(count + 1):
            form = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": refresh_token}
            answer = await client.post(endpoint, data=form)
            refresh_token = str(answer.raise_for_status().json()["refresh_token"])
            if number == 0:
                began = time.process_time()
    return (time.process_time() - began) / count


if __name__ == "__main__":
    print(asyncio.run(renew(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))))
