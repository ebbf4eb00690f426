"""A connection: writes what a server greets with, then an answer for each line of standard input."""

import socket
import sys

connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
reader = connection.makefile()
print(reader.readline().strip(), flush=True)
for line in sys.stdin:
    connection.sendall(line.encode())
    print(reader.readline().strip(), flush=True)
