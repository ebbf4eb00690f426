"""Asks a host for pages: three times by GET, one of them with a body, and three times by POST, one of them without."""

import http.client
import sys

connection = http.client.HTTPConnection(sys.argv[1], 80, timeout=60)
for method, body in (
    ("GET", None),
    ("GET", b"five."),
    ("GET", None),
    ("POST", b""),
    ("POST", b"seven.."),
    ("POST", iter([b"four", b"five."])),
):
    connection.request(method, "/", body)
    connection.getresponse().read()
