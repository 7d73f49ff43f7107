"""Risk arrays by full revaluation through the engines."""
