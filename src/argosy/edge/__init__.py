"""All that touches the world: gRPC, HTTP, SQLite, files, processes, netlink, clocks. No decision is made here."""
