"""ION: International Order Notifications, rendered, mailed, read back exactly and exported."""

__version__ = "0.1.0"
