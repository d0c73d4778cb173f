/* The cheapest program there is: what starting one costs by itself. */
int main(void) { return 0; }
