"""What is deployed: the manifests, the compose file, the image, the alerts and the dashboard."""
