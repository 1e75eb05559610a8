"""Before against after: what recordings differ in, and whether that is more than chance."""
