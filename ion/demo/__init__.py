"""The demo: the whole loop (`run`), one forward shown (`show_forward`), mail clients imitated (`forwarding`)."""
