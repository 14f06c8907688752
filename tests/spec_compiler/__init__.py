"""The compiler, on schemas made for the purpose."""
