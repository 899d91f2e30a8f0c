"""`python -m ion` is `ion`."""

from ion.cli import main

main()
