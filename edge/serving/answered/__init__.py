"""What a server answered: counted over time, kept on disk, and compared with the answers for the test images."""
