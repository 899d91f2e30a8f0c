"""The demo: the whole loop on one machine (`run`), and the ways its mails are forwarded (`forwards`)."""
