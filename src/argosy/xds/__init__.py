"""The xDS protocol, without any I/O: both halves, both variants, ordering, snapshots and pending pushes."""
