import { Eaglet } from 'eaglet';
console.log(Eaglet);
