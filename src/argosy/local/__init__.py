"""The one-machine platform: which pods should run, where names and service addresses lead, how the node is made.

Everything here is pure; the edges `netns`, `netlink`, `processes`, `pod_runner`, `dns_server`, `kube_proxy`, `relay`
and `exec_api` act on it, and `app.agent` and `app.node` tie them together.
"""
