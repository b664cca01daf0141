"""`coatcheck trust`: whom the API trusts besides its keys, for the owner of a deployment."""
