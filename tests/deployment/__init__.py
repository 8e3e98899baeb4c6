"""Files for Docker, Kubernetes and monitoring, compared with the code."""
