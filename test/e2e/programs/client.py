"""An agent's Python program: `client.py LIBRARY URL` asks for URL, then posts to it, and prints what it saw as JSON."""

import asyncio
import json
import sys

library, url = sys.argv[1:3]


def seen(status, headers, text):
    return {"status": status, "error": headers.get("Alter-Error"), "body": json.loads(text)}


def with_urllib():
    from urllib.error import HTTPError
    from urllib.request import urlopen

    def send(data):
        try:
            with urlopen(url, data=data) as answer:
                return seen(answer.status, answer.headers, answer.read())
        except HTTPError as error:
            return seen(error.code, error.headers, error.read())

    return [send(None), send(b"x")]


def with_requests():
    import requests

    with requests.Session() as session:
        answers = [session.get(url), session.post(url, data=b"x")]
        return [seen(a.status_code, a.headers, a.text) for a in answers]


def with_httpx():
    import httpx

    with httpx.Client() as client:
        answers = [client.get(url), client.post(url, content=b"x")]
        return [seen(a.status_code, a.headers, a.text) for a in answers]


async def with_aiohttp():
    import aiohttp

    async with aiohttp.ClientSession(trust_env=True) as session:
        async with session.get(url) as first:
            answers = [seen(first.status, first.headers, await first.text())]
        async with session.post(url, data=b"x") as second:
            answers.append(seen(second.status, second.headers, await second.text()))
        return answers


if library == "aiohttp":
    result = asyncio.run(with_aiohttp())
else:
    result = {"urllib": with_urllib, "requests": with_requests, "httpx": with_httpx}[library]()
print(json.dumps(result))
