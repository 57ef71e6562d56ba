"""The screens: live board, trace, inbox, health."""
