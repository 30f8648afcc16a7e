"""What a viewer asks of a store: tiles, pixels, regions, frames. Arrays only, no page."""
