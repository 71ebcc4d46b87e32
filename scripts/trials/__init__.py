"""Trials of what eigexp claims: every verified eigenvalue beside dense float64 truth, by family of models.

A family is a row of `families.FAMILIES`: a function that makes models at images. A question is a solver with its settings and a dtype.
Each family is asked every question that suits it. A claim is one eigenvalue of an end that was asked; it is verified
if the end's evidence is proven or krylov, and false if the true eigenvalue of that index lies outside its interval by more than 1e-12 of
the largest eigenvalue. The truth comes from the singular values of the float64 Jacobian, made row by row with autograd's own backward pass.
"""
