//! Every word that goes to GitHub.
