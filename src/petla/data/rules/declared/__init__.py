"""What the project file says about the data: severities, waivers, expectations, and proposals for them."""
