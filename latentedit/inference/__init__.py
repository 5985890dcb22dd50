"""Running networks: devices, fast forms, from latents to pictures and to what judges see."""
