"""What runs on the workstation: data -> Keras model -> exported files."""
