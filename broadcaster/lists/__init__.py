"""Lists of people as streams of text cells, and which column of them is what.

Every cell is text from the first byte to the last: a phone number that has been a number once is damaged. Knows neither
plans nor the API.
"""
