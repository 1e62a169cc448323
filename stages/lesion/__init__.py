"""What the stages share: one module, one subject."""
