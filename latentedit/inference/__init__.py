"""Networks at work: devices, fast forms, latents to pictures to what is seen in them."""
