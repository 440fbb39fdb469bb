"""The web interface: pages made on the server, complete without JavaScript."""
