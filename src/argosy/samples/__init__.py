"""The sample applications: small programs that stand in for the container images of Istio's samples.

Each is started as `python -m argosy.samples.<name>`; `catalogue` says which one an image name means, `bundle` where the
example manifests are. The programs know nothing of the mesh: they are the applications that the mesh carries.
"""
