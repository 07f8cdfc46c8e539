"""Teaching a student what a teacher knows: losses, the recipes that weigh them, and the stages they run in."""
