"""pixtally: what every pixel does over a huge collection of images."""
