"""What stands around the network: prompts -> conditions, pictures <-> latents."""
