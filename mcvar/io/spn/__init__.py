"""PC-SPAN XML, `.spn`."""
