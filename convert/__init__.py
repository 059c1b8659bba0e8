"""What runs on the workstation: from data to a Keras model to exported files."""
