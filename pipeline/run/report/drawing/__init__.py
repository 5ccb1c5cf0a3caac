"""Figures as Plotly draws them: their titles, captions, colours, traces and layouts."""
