"""Models of path loss, one a file. Where no other source is named: 3GPP TR 38.901, table 7.4.1-1."""
