"""What runs on the device: an exported file -> predictions. Needs the standard library, numpy and one runtime."""
