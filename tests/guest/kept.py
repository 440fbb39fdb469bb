"""A client with one connection that stays open; runs in the guest with nothing but its Python.

`kept.py NAME` asks once for each line that it reads, over the same connection, and prints the
status of the answer; `closed` when the connection was ended.
"""

from __future__ import annotations

import http.client
import ssl
import sys

PKI = "/etc/angos-trio/pki"
name = sys.argv[1]
context = ssl.create_default_context(cafile=f"{PKI}/ca.crt")
context.load_cert_chain(f"{PKI}/clients/{name}.crt", f"{PKI}/private/clients/{name}.key")
connection = http.client.HTTPSConnection("registry.lab", timeout=30, context=context)
connection.connect()
local = connection.sock.getsockname()
for _ in sys.stdin:
    if connection.sock is None or connection.sock.getsockname() != local:
        print("closed", flush=True)
        break
    connection.request("GET", "/v2/")
    answer = connection.getresponse()
    answer.read()
    print(answer.status, flush=True)
