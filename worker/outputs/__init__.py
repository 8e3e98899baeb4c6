"""Downloads of outputs, and the bucket or folder that keeps them."""
